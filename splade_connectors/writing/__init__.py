"""From rows of a file to acknowledged documents."""
