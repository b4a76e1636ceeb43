"""The GitHub forge: REST and GraphQL through PyGithub's requester, git over HTTPS."""

from juggernaut.adapters.forges.github.forge import GitHubForge

__all__ = ["GitHubForge"]
