"""A package from outside ganworks, which brings a family. Its families are imported when they are used, not here."""
