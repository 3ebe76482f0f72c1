"""How much brief training is worth: trainings at several fidelities, and how far they rank as long training does."""
