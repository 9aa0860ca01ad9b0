"""CalcJobs, calculation functions and calculations that wait for the outside."""
