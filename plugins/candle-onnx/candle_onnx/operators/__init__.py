"""The operators, by family; each module enters its definitions into the table."""
