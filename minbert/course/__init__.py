"""For a course: what a student's code got wrong, by how much, and which known mistake it is."""
