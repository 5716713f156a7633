"""`tallygate policy check` in the formats that people's tools read; one module each."""
