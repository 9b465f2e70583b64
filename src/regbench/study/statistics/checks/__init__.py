"""What in the runs would make a verdict doubtful: outlying runs, skew, training cut short; and a second opinion."""
