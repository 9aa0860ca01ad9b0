"""How cells of many designs age: before their first cycle, or from their first cycles.

``cell`` is what a cell is and how it is cycled, ``table`` and ``records`` where that comes from, ``early`` the numbers
of first cycles; ``learners`` regress, ``regime`` says how far a cell is from those known and how unsure that makes,
``left_out`` predicts cells without them, ``model`` answers without first cycles and ``fade`` with them, by what each
``reader`` tells; ``judge`` compares with cells not learned from. ``headings`` says what columns of tables are called.
"""
