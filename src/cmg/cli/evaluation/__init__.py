"""`cmg eval …`: how well the memory finds what is asked for, on conversations with labelled questions.

A file of conversations and the address of a service enter; what share of the evidence was found leaves. The data
belongs to whoever runs it: none of it is part of the project.
"""
