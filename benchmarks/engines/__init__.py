"""The rooms that know a detection or segmentation library, one file each; nothing else imports those libraries."""
