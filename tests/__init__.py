"""The tests: unit, contracts, web, scenarios; real parts behind public doors."""
