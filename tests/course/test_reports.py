"""What people read of a graded class: safe to show, and no more of the hidden inputs than the course allows."""

from minbert.course import reports


def test_what_a_student_reads_of_the_hidden_inputs():
    """A public-only solution: the text names the stage, not the numbers, unless the course says so."""
    for detail, numbers in (("part", False), ("stage", False), ("numbers", True)):
        row = {"part": 3, "title": "t", "status": "wrong", "points": 1, "possible": 2, "why": "", "notes": []}
        row["first"] = {"set": "hidden", "stage": "attend: mixed", "problem": "yours 1, should be 2"}
        text = "\n".join(reports.describe(row, detail))
        assert ("should be 2" in text) is numbers
        assert ("attend: mixed" in text) is (detail != "part")


def test_plain_and_cell():
    assert reports.plain("a\tb\u200bc\ud800") == "a\\tb\\u200bc\\ud800"
    assert len(reports.plain("x" * 1000)) == reports.WIDTH
    assert [reports.cell(text) for text in ("+1", "-1", "@x", "a=b", 0.5)] == ["'+1", "'-1", "'@x", "a=b", "0.5"]
    assert reports.file_name("../a b") == "_a_b" and reports.file_name("..") == "_"
