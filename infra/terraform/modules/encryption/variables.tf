variable "name" {
  description = "Name of the deployment; log groups that begin with it may use the key."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
