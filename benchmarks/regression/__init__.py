"""Has a change of code, libraries or machine moved a score? Every benchmark at three sizes, against stored values."""
