"""The database: connections, named transactions, SQL files, migrations and the embedded server."""
