variable "name" {
  description = "Name of the replication group, up to 40 characters."
  type        = string
}

variable "engine_version" {
  description = "Version of Valkey, 8.x."
  type        = string
  default     = "8.1"

  validation {
    condition     = can(regex("^8\\.[0-9]+$", var.engine_version))
    error_message = "engine_version is one of Valkey 8, such as 8.1."
  }
}

variable "node_type" {
  description = "Type of node, such as cache.m7g.large."
  type        = string

  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "node_type is one of ElastiCache's, such as cache.m7g.large."
  }
}

variable "replicas" {
  description = "Replicas in other zones, 0 to 5; one takes over when the primary fails."
  type        = number
  default     = 1

  validation {
    condition     = var.replicas >= 0 && var.replicas <= 5
    error_message = "replicas is from 0 to 5."
  }
}

variable "auth_token" {
  description = "Password of all clients. Never stored in the state."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "auth_token_version" {
  description = "Number that goes up when the token changes."
  type        = number
}

variable "port" {
  description = "Port of Valkey."
  type        = number
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Who may connect, by name."
  type        = map(string)
}

variable "log_retention_days" {
  description = "Days that the slow log is kept."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "Key that disks and logs are encrypted with."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
