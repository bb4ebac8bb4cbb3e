"""ADE20K scene parsing: semantic segmentation with Semantic FPN on any backbone."""
