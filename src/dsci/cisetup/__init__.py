"""What a repository is given so that a CI system runs dsci: files, as text; pure.

A graph of jobs is made from the family alone, so equal families have equal bytes. What such a file is to do when it is
there already is said here too; reading and writing it is the command line's.
"""
