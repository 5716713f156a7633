"""`tallygate policy test` in the formats that people's tools read; one module each."""
