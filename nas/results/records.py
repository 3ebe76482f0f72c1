"""`records`: a table as plain JSON types."""

from typing import Any

import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries; what is missing is None, times are ISO 8601."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {str(name): value.isoformat() if isinstance(value, pd.Timestamp) else value for name, value in row.items()}
        for row in plain.to_dict("records")
    ]
