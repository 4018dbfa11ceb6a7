"""The audit trail: who changed what, when and from where, in an order that cannot be altered unseen.

Entries enter in the transaction of the change they tell of; each holds the hash of the one before. What leaves are
pages for reading and the verdict of a walk along the whole chain.
"""
