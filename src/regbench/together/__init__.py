"""Many runs trained as one program: their networks stacked, each run with its own folder as if trained alone."""
