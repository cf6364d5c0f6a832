"""The SQL database: tables, transactions, the journal, migrations. Only services use it."""
