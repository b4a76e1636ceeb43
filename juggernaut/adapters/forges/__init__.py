"""Forges: where repositories, work trees and pull requests live."""
