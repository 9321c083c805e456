"""Plain types shared by the lab (`harness`), the boards (`targets`) and the model (`ai`)."""
