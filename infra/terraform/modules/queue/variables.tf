variable "name" {
  description = "Name of the cluster."
  type        = string
}

variable "kafka_version" {
  description = "Version of Kafka, as MSK names it; 4.0 or later, without ZooKeeper."
  type        = string
  default     = "4.1.x.kraft"

  validation {
    condition     = can(regex("^4\\.[0-9]+\\.(x|[0-9]+)\\.kraft$", var.kafka_version))
    error_message = "kafka_version is one of MSK's of Kafka 4, such as 4.1.x.kraft."
  }
}

variable "brokers" {
  description = "Number of brokers: a multiple of the number of subnets."
  type        = number
  default     = 3

  validation {
    condition     = var.brokers >= 2 && var.brokers % max(1, length(var.subnet_ids)) == 0
    error_message = "brokers is at least 2 and a multiple of the number of subnets."
  }
}

variable "instance_type" {
  description = "Type of broker, such as kafka.m7g.large."
  type        = string
  default     = "kafka.m7g.large"

  validation {
    condition     = startswith(var.instance_type, "kafka.")
    error_message = "instance_type is one of MSK's, such as kafka.m7g.large."
  }
}

variable "storage_gib" {
  description = "Disk of each broker at the beginning, in GiB, from 1 to 16384."
  type        = number
  default     = 200

  validation {
    condition     = var.storage_gib >= 1 && var.storage_gib <= 16384
    error_message = "storage_gib is from 1 to 16384."
  }
}

variable "storage_max_gib" {
  description = "What that disk may grow to, in GiB, up to 16384."
  type        = number
  default     = 4000

  validation {
    condition     = var.storage_max_gib >= var.storage_gib && var.storage_max_gib <= 16384
    error_message = "storage_max_gib is from storage_gib to 16384."
  }
}

variable "port" {
  description = "Port of SASL/SCRAM over TLS; MSK decides it."
  type        = number
}

variable "allow_pollers" {
  description = "Whether event source mappings of Lambda read from the cluster."
  type        = bool
  default     = false
}

variable "credentials_secret_arn" {
  description = "Secret with username and password; MSK wants its name to begin with AmazonMSK_."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "Its IPv4 range."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the brokers, one a zone."
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Who may connect, by name."
  type        = map(string)
}

variable "log_retention_days" {
  description = "Days that brokers' logs are kept."
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
