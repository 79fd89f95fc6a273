"""Widgets that several screens use: tables, modal questions, panes, the filter line.

A widget of one screen lies in that screen's folder. Nothing here imports a screen.
"""
