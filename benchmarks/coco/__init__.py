"""COCO: instance detection and segmentation with a fine-tuned or frozen backbone."""
