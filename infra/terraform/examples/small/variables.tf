variable "region" {
  description = "Region of AWS."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is one of AWS, such as eu-central-1."
  }
}

variable "zones" {
  description = "Letters of two of the region's zones; their order decides addresses."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(var.zones) == 2 && alltrue([for z in var.zones : can(regex("^[a-z]$", z))])
    error_message = "zones are two letters."
  }
}

variable "name" {
  description = "Name of the deployment; everything in AWS begins with it."
  type        = string
  default     = "sponge-small"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name has 3 to 20 lower-case letters, digits and dashes."
  }
}

variable "release" {
  description = "Tag of the image to run."
  type        = string

  validation {
    condition     = var.release != "latest" && length(var.release) > 0
    error_message = "release is a tag of an image other than latest."
  }
}

variable "domain" {
  description = "Name that clients connect to, in the zone."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain is a DNS name, such as chat.example.com."
  }
}

variable "zone_id" {
  description = "Route 53 zone of that name."
  type        = string

  validation {
    condition     = startswith(var.zone_id, "Z")
    error_message = "zone_id is the id of a Route 53 zone; it begins with Z."
  }
}

variable "secrets" {
  description = "Keys and passwords; see the module's variable, which also checks them. Best given as TF_VAR_secrets."
  sensitive   = true
  ephemeral   = true

  type = object({
    worker_key     = string
    seal_key       = string
    audit_key      = string
    mysql_password = string
    redis_token    = string
    kafka_password = string
  })

  validation {
    condition     = alltrue([for value in values(var.secrets) : length(value) >= 24])
    error_message = "secrets: each has 24 characters or more; the README tells how to make them."
  }
}

variable "secrets_version" {
  description = "Raise it when passwords change."
  type        = number
  default     = 1

  validation {
    condition     = var.secrets_version >= 1
    error_message = "secrets_version is at least 1."
  }
}

variable "keys_version" {
  description = "Raise it when keys change."
  type        = number
  default     = 1

  validation {
    condition     = var.keys_version >= 1
    error_message = "keys_version is at least 1."
  }
}

variable "alarm_emails" {
  description = "Addresses that alarms are sent to."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for e in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+$", e))])
    error_message = "alarm_emails are mail addresses."
  }
}

variable "workers_runtime" {
  description = "ecs; lambda would need MSK, which costs more than all the rest."
  type        = string
  default     = "ecs"

  validation {
    condition     = var.workers_runtime == "ecs"
    error_message = "workers_runtime is ecs here: functions are fed by MSK, which this example does without."
  }
}

variable "plain_tcp" {
  description = "Whether port 8000 is open without TLS, for nc."
  type        = bool
  default     = false
}

variable "monthly_budget" {
  description = "US dollars a month that a forecast above is mailed for, where there are alarm_emails."
  type        = number
  default     = 120

  validation {
    condition     = var.monthly_budget > 0
    error_message = "monthly_budget is above 0."
  }
}

variable "deletion_protection" {
  description = "Whether database, load balancer and broker refuse to be deleted; false for a trial."
  type        = bool
  default     = true
}
