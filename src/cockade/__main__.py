"""`python -m cockade`"""

if __name__ == "__main__":  # spawned worker processes run this module too, and need no commands
    from cockade.cli import main

    main()
