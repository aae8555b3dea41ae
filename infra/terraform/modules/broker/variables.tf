variable "name" {
  description = "Name of the deployment."
  type        = string
}

variable "kafka_version" {
  description = "Version of Apache Kafka, 4.0.0 or later."
  type        = string
  default     = "4.1.1"

  validation {
    condition     = can(regex("^4\\.[0-9]+\\.[0-9]+$", var.kafka_version))
    error_message = "kafka_version is one of Kafka 4, such as 4.1.1."
  }
}

variable "instance_type" {
  description = "Type of instance, with an ARM processor and at least 2 GiB, such as t4g.small."
  type        = string
  default     = "t4g.small"

  validation {
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.instance_type))
    error_message = "instance_type has an ARM processor, such as t4g.small."
  }
}

variable "heap_mib" {
  description = "Heap of the broker in MiB, at least 256; the rest of the memory caches the topics."
  type        = number
  default     = 768

  validation {
    condition     = var.heap_mib >= 256
    error_message = "heap_mib is at least 256."
  }
}

variable "storage_gib" {
  description = "Disk for the topics in GiB, 5 to 16384."
  type        = number
  default     = 20

  validation {
    condition     = var.storage_gib >= 5 && var.storage_gib <= 16384
    error_message = "storage_gib is from 5 to 16384."
  }
}

variable "port" {
  description = "Port of Kafka."
  type        = number
}

variable "private_ip" {
  description = "Address within the subnet that clients know the broker by."
  type        = string

  validation {
    condition     = can(cidrhost("${var.private_ip}/32", 0))
    error_message = "private_ip is an IPv4 address."
  }
}

variable "zone" {
  description = "Availability zone of the subnet."
  type        = string
}

variable "subnet_id" {
  description = "Public subnet of the broker."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "client_security_group_ids" {
  description = "Who may connect, by name."
  type        = map(string)
}

variable "deletion_protection" {
  description = "Whether the instance refuses to be terminated."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "Key that the disks are encrypted with."
  type        = string
}

variable "tags" {
  description = "Tags for everything that can have them."
  type        = map(string)
  default     = {}
}
