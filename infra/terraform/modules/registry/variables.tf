variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "keep_images" {
  description = "Releases that are kept, at least 2."
  type        = number
  default     = 30

  validation {
    condition     = var.keep_images >= 2
    error_message = "keep_images is at least 2: the running release and the one before."
  }
}

variable "kms_key_arn" {
  description = "Key that images are encrypted with."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
