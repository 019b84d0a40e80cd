"""One evaluation: observe, decide, act, record."""
