"""`python -m cockade`"""

from cockade.cli import main

main()
