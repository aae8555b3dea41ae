variable "cluster" {
  description = "Name of the deployment."
  type        = string
}

variable "ecs_cluster_arn" {
  description = "ECS cluster that the task runs on."
  type        = string
}

variable "ecs_cluster_name" {
  description = "Its name."
  type        = string
}

variable "image" {
  description = "Image to run."
  type        = string
}

variable "schedule" {
  description = "When it runs, as EventBridge Scheduler takes it: rate(...) or cron(...)."
  type        = string
  default     = "rate(1 hour)"

  validation {
    condition     = can(regex("^(rate|cron)\\(.+\\)$", var.schedule))
    error_message = "schedule is rate(...) or cron(...)."
  }
}

variable "lock_mode" {
  description = "COMPLIANCE: nobody can delete before the time is over, not even root; GOVERNANCE: whoever has a special permission can."
  type        = string
  default     = "COMPLIANCE"

  validation {
    condition     = contains(["COMPLIANCE", "GOVERNANCE"], var.lock_mode)
    error_message = "lock_mode is COMPLIANCE or GOVERNANCE."
  }
}

variable "retention_days" {
  description = "Days for which an object is locked, 1 to 36500. With COMPLIANCE they cannot be shortened later."
  type        = number
  default     = 365

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 36500
    error_message = "retention_days is from 1 to 36500."
  }
}

variable "cpu" {
  description = "CPU units of the task."
  type        = number
  default     = 512
}

variable "memory" {
  description = "Memory of the task in MiB."
  type        = number
  default     = 1024
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64."
  type        = string
  default     = "ARM64"
}

variable "environment" {
  description = "Variables of the role."
  type        = map(string)
}

variable "secrets" {
  description = "Variables of the role that are secret: ARNs."
  type        = map(string)
}

variable "secrets_version" {
  description = "Changes with the secrets' values."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the task."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Whether the task has a public address, which it needs in a public subnet."
  type        = bool
  default     = false
}

variable "security_group_id" {
  description = "Security group of the task."
  type        = string
}

variable "repository_arn" {
  description = "Repository of the image."
  type        = string
}

variable "log_retention_days" {
  description = "Days that the log is kept."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "Key of objects, secrets and log."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
