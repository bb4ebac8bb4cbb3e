"""UAVDT: vehicles seen from a drone; the official score, and a detector that feeds it."""
