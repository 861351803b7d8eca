"""Boxes of objects in the form in which ImageNet publishes them."""

BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def annotation(*corners):
    """The text of a published annotation; several corners are several objects."""
    objects = "".join(
        f"<object><name>n01440764</name><pose>Unspecified</pose>{BOX.format(*one)}</object>"
        for one in corners
    )
    size = "<size><width>8</width><height>8</height><depth>3</depth></size>"
    return f"<annotation><folder>val</folder>{size}<segmented>0</segmented>{objects}</annotation>"


def annotated(folder, first, second):
    """Boxes of two pictures, the second of two objects."""
    folder.mkdir(parents=True)
    (folder / f"{first}.xml").write_text(annotation((1, 2, 5, 6)))
    (folder / f"{second}.xml").write_text(annotation((3, 4, 7, 8), (0, 5, 2, 6)))
