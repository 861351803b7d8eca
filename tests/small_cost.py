"""What a network might cost, in round numbers."""

from pipeline.costs import Cost

COST = Cost(
    size=224,
    gflop=2.0,
    speed=50,
    forwards={"naflow": 5.0, "gradcam": 3.0},
    memory={"naflow": 2**28, "gradcam": 2**27},
    maps=200_000,
    step=3.5,
    judge=0.5,
    alive={"forward": 2**22, "judge": 2**20, "step": 2**25},
    torch="2.15",
)
