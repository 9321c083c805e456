*** Settings ***
Documentation     What a board of this type must do before it is accepted: adapt to its traffic within its budgets,
...               roll back defects, refuse what is unsafe, and run only its own kernel.
Name              Assay acceptance
Test Timeout      10 minutes
