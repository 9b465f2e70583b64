"""Many runs trained as one program: their networks stacked, each with its own folder as if it had been trained alone."""
