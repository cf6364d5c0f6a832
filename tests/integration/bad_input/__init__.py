"""Bad input and what is answered to it, as rows that ``tests/integration/test_bad_input_table.py`` tries."""
