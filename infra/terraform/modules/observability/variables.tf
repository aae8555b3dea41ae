variable "cluster" {
  description = "Name of the deployment."
  type        = string
}

variable "emails" {
  description = "Addresses that alarms are sent to; each must confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for e in var.emails : can(regex("^[^@ ]+@[^@ ]+$", e))])
    error_message = "emails are mail addresses."
  }
}

variable "metrics" {
  description = "Namespace and names of the metrics that roles publish."
  type        = object({ namespace = string, connections = string, age = string, stopped = string, dead = string, archive_age = string })
}

variable "groups" {
  description = "Handler groups."
  type        = list(string)
}

variable "topics" {
  description = "Topic of each group, which its consumer group is named after."
  type        = map(string)
}

variable "age_alarm" {
  description = "Seconds that a record may wait before a human is told, above 0."
  type        = number
  default     = 8

  validation {
    condition     = var.age_alarm > 0
    error_message = "age_alarm is above 0."
  }
}

variable "age_missing" {
  description = "What it means if nobody tells the age: breaching where workers always run, notBreaching where functions run when there is something."
  type        = string
  default     = "breaching"

  validation {
    condition     = contains(["breaching", "notBreaching"], var.age_missing)
    error_message = "age_missing is breaching or notBreaching."
  }
}

variable "archive_age_hours" {
  description = "Hours that the archive may lag behind, at least 1."
  type        = number
  default     = 26

  validation {
    condition     = var.archive_age_hours >= 1
    error_message = "archive_age_hours is at least 1."
  }
}

variable "balancer" {
  description = "Dimensions of the balancer's metrics."
  type        = object({ balancer = string, target_groups = map(string) })
}

variable "store_dimensions" {
  description = "Dimensions of the database's metrics."
  type        = map(string)
}

variable "channel_ids" {
  description = "Nodes of Valkey."
  type        = list(string)
}

variable "kafka_kind" {
  description = "msk or broker: which of the two that follow there is."
  type        = string

  validation {
    condition     = contains(["msk", "broker"], var.kafka_kind)
    error_message = "kafka_kind is msk or broker."
  }
}

variable "kafka_cluster_name" {
  description = "Name of the MSK cluster."
  type        = string
  default     = null
}

variable "kafka_instance_id" {
  description = "Instance of a single broker."
  type        = string
  default     = null
}

variable "schedule_group" {
  description = "Schedule group of the archive."
  type        = string
}

variable "ecs_cluster_name" {
  description = "Name of the ECS cluster."
  type        = string
  default     = null
}

variable "service_names" {
  description = "Names of the ECS services."
  type        = list(string)
  default     = []
}

variable "function_names" {
  description = "Names of the functions, by group."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "Key of the topic that alarms go to."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
