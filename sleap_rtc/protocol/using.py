"""What is the same for every job that uses models and trains none."""


class UsesModels:
    """What is asked of any job's options, and has one answer for these."""

    @property
    def devices(self) -> int:
        """How many GPUs the job takes: sleap-nn uses a model on one."""
        return 1

    @property
    def wandb(self) -> bool:
        """Whether Weights & Biases is told: there is nothing to tell."""
        return False

    @property
    def videos(self) -> None:
        """Where the videos of labels are: if there are labels, they bring their images along."""
