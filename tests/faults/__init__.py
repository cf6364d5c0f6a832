"""The running system is killed and damaged while people work; afterwards nothing may be missing, double or made up."""
