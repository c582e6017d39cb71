"""attncert: universal-approximation claims about softmax attention, checkable by machine."""

from pathlib import Path

# In a checkout the rooms certificates/, construct/ and verifier/ stand beside this package; installed, they are inside it.
_HERE = Path(__file__).parent
if not (_HERE / "certificates").is_dir() and (_HERE.parent / "certificates").is_dir():
    __path__.append(str(_HERE.parent))
