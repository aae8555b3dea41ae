variable "cluster" {
  description = "Name of the deployment."
  type        = string
}

variable "ecs_cluster_arn" {
  description = "ECS cluster that the services run on."
  type        = string
}

variable "ecs_cluster_name" {
  description = "Its name."
  type        = string
}

variable "services" {
  description = "Services by name: the handler groups of each, its size, how many, and variables of its own."

  type = map(object({
    groups      = list(string)
    cpu         = optional(number, 1024)
    memory      = optional(number, 2048)
    min         = optional(number, 2)
    max         = optional(number, 8)
    environment = optional(map(string), {})
  }))

  validation {
    condition     = alltrue([for s in values(var.services) : length(s.groups) > 0 && alltrue([for g in s.groups : contains(var.all_groups, g)])])
    error_message = "services: groups are some of ${join(", ", var.all_groups)}."
  }

  validation {
    condition     = length(flatten([for s in values(var.services) : s.groups])) == length(distinct(flatten([for s in values(var.services) : s.groups])))
    error_message = "services: a handler group belongs to one service."
  }

  validation {
    condition     = length(setsubtract(var.all_groups, flatten([for s in values(var.services) : s.groups]))) == 0
    error_message = "services: every handler group needs a service, or its frames are never answered."
  }

  validation {
    condition     = alltrue([for s in values(var.services) : s.min >= 1 && s.max >= s.min])
    error_message = "services: min is at least 1, max at least min."
  }

  validation {
    condition     = alltrue([for s in values(var.services) : s.max <= max([for g in s.groups : lookup(var.partitions, g, 0)]...)])
    error_message = "services: more workers than a group has partitions would have nothing to do."
  }
}

variable "all_groups" {
  description = "All handler groups that there are."
  type        = list(string)
}

variable "partitions" {
  description = "Partitions of each group's topic."
  type        = map(number)
}

variable "age_out" {
  description = "Seconds that the oldest record may wait before workers are added."
  type        = number
  default     = 2

  validation {
    condition     = var.age_out > 0
    error_message = "age_out is above 0."
  }
}

variable "age_in" {
  description = "Seconds below which nothing counts as waiting."
  type        = number
  default     = 0.5

  validation {
    condition     = var.age_in > 0 && var.age_in < var.age_out
    error_message = "age_in is above 0 and below age_out."
  }
}

variable "cpu_in" {
  description = "CPU in per cent below which a worker can be spared."
  type        = number
  default     = 35

  validation {
    condition     = var.cpu_in >= 5 && var.cpu_in <= 80
    error_message = "cpu_in is from 5 to 80."
  }
}

variable "metrics" {
  description = "Namespace and name of the metric that tells the age of a group's oldest unhandled record, in seconds."
  type        = object({ namespace = string, age = string })
}

variable "metrics_port" {
  description = "Port of metrics and health."
  type        = number
}

variable "health_command" {
  description = "Command that succeeds while the worker serves."
  type        = list(string)
}

variable "image" {
  description = "Image to run."
  type        = string
}

variable "capacity_provider" {
  description = "FARGATE, or FARGATE_SPOT: a third of the price, taken back with two minutes' notice."
  type        = string
  default     = "FARGATE"

  validation {
    condition     = contains(["FARGATE", "FARGATE_SPOT"], var.capacity_provider)
    error_message = "capacity_provider is FARGATE or FARGATE_SPOT."
  }
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

variable "migrate" {
  description = "Variables of sponge migrate, and those that are secret."
  type        = object({ environment = map(string), secrets = map(string) })
}

variable "subnet_ids" {
  description = "Subnets of the workers."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "Whether workers have public addresses, which they need in a public subnet."
  type        = bool
  default     = false
}

variable "security_group_id" {
  description = "Security group of the workers."
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
  description = "Key of secrets and log."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
