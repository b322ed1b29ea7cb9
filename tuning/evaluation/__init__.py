"""What an adapter has changed: measured with and without it, compared with the gate, written down.

held_out.py    the loss over answers that were not trained on
answers.py     the answers themselves: word for word, and how near they come
regression.py  the loss over general questions, which every model should keep
gate.py        whether that is good enough
evaluate.py    all of it, before and after
report.py      the report as JSON and as a page
curve.py       its picture of the loss
"""
