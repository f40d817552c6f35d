"""`python -m cockade`"""

if __name__ == "__main__":  # a worker that is spawned runs this module too, and needs no commands
    from cockade.cli import main

    main()
