variable "cluster" {
  description = "Name of the deployment."
  type        = string
}

variable "groups" {
  description = "Handler groups."
  type        = set(string)
}

variable "topics" {
  description = "Topic of each group."
  type        = map(string)
}

variable "partitions" {
  description = "Partitions of each group's topic: as many calls run at once at most."
  type        = map(number)
}

variable "image" {
  description = "Image to run, in ECR."
  type        = string
}

variable "cpu_architecture" {
  description = "ARM64 or X86_64."
  type        = string
  default     = "ARM64"
}

variable "memory" {
  description = "Memory of a function in MiB, 256 to 10240; CPU grows with it, a core each 1769."
  type        = number
  default     = 1769

  validation {
    condition     = var.memory >= 256 && var.memory <= 10240
    error_message = "memory is from 256 to 10240."
  }
}

variable "timeout" {
  description = "Seconds that a batch may take, 5 to 900."
  type        = number
  default     = 30

  validation {
    condition     = var.timeout >= 5 && var.timeout <= 900
    error_message = "timeout is from 5 to 900."
  }
}

variable "batch_size" {
  description = "Most records of a batch, 1 to 5000."
  type        = number
  default     = 500

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 5000
    error_message = "batch_size is from 1 to 5000, what a worker takes."
  }
}

variable "pollers" {
  description = "Pollers of each mapping: min from 1 to 200, max up to 2000."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 4 }

  validation {
    condition     = var.pollers.min >= 1 && var.pollers.min <= 200 && var.pollers.max >= var.pollers.min && var.pollers.max <= 2000
    error_message = "pollers: min is from 1 to 200, max from min to 2000."
  }
}

variable "environment" {
  description = "Variables of the handlers; secrets are named by their ARNs, as Lambda puts none into variables."
  type        = map(string)
}

variable "migrate_environment" {
  description = "The same for migrate."
  type        = map(string)
}

variable "secret_arns" {
  description = "Secrets that functions may read."
  type        = list(string)
}

variable "secrets_version" {
  description = "Changes with the secrets' values."
  type        = string
}

variable "kafka_cluster_arn" {
  description = "MSK cluster that feeds the functions."
  type        = string
}

variable "kafka_secret_arn" {
  description = "Secret with Kafka's username and password."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the functions."
  type        = string
}

variable "log_retention_days" {
  description = "Days that the log is kept."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "Key of secrets, variables and log."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
