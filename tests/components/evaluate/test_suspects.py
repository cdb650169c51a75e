"""Texts of train and validation whose label looks wrong, as Label Studio imports them."""

from components.evaluate.mistakes import Mistake, label_studio

SUSPECT = Mistake(
    "suspect",
    "train",
    7,
    "=1+1\nWin £100",
    "",
    "ham",
    "spam",
    0.98765,
    4.4,
)


def test_suspects_are_tasks_with_the_models_label_as_prediction():
    """The text is as it is, not escaped as for spreadsheets: corrections have to find it again."""
    assert label_studio([SUSPECT], "single_label") == [
        {
            "data": {"text": "=1+1\nWin £100", "label": "ham", "split": "train", "row": 7, "rank": 1, "loss": 4.4},
            "predictions": [
                {
                    "score": 0.9877,
                    "result": [
                        {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["spam"]}}
                    ],
                }
            ],
        }
    ]
